"""The command `study`, which `python -m study` is, too."""

from study import boot


def main() -> None:
    """Run the command, with nothing to be imported from the working directory."""
    boot.isolate()
    from study.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
