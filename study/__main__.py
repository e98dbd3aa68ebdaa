"""The command `study`, also as `python -m study`."""

from study import boot


def main() -> None:
    """Run the command. It imports nothing from the working directory."""
    boot.isolate()
    from study.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
