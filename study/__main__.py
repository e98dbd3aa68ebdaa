"""The command `study`, also as `python -m study`."""

import sys

from study import boot


def main() -> None:
    """Run the command. It imports nothing from the working directory."""
    if sys.platform == "win32":
        print("study: Windows is not supported; use WSL, the Windows Subsystem for Linux", file=sys.stderr)
        sys.exit(2)
    boot.isolate()
    from study.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
