"""Every file name and every byte on disk. Nothing else in the package writes into a results folder."""
