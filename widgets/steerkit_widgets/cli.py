"""`steerkit lab`: the lab as an application of its own, in the browser.

Voila serves it. Beside a notebook server that is fewer things to see and to learn: no cells, no menus, and the lab is
there without anybody running anything. The price is a kernel a page, so that a reload begins anew and loads the model
again; recipes and saved pages keep what was found. Who wants Python beside it has `skw.Lab(model, features)` in any
notebook.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from steerkit import embedded
from steerkit.errors import EngineError

if TYPE_CHECKING:
    from nbformat import NotebookNode

PORT = 8866
# Of all that extends JupyterLab and Voila in this environment, what draws widgets.
EXTENSIONS = ["@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8", "anywidget"]
# Voila's template asks a server elsewhere for icons; the lab needs no network and gets none.
ALLOWED = "default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; connect-src 'self' ws://127.0.0.1:*"


def add_lab(command: argparse.ArgumentParser) -> None:
    """Give `steerkit lab` its options."""
    command.description = "Serve the lab on this machine and open it in the browser. Ctrl-C ends it."
    command.add_argument(
        "--model", default=embedded.NAME, help="a folder, or a name on the hub (default: the one within)"
    )
    command.add_argument("--dictionary", help="a catalog name, a hub repository or a folder (default: the model's own)")
    command.add_argument("--prompt", default=embedded.BEGINNING)
    command.add_argument("--theme", choices=["light", "dark"], default="light")
    command.add_argument(
        "--port", type=int, default=PORT, help=f"another is taken where it is in use (default: {PORT})"
    )
    command.add_argument("--no-browser", action="store_true", help="only print the address")
    command.set_defaults(run=serve)


def notebook(options: argparse.Namespace) -> NotebookNode:
    """The notebook that is served."""
    from nbformat import v4

    dictionary = f"sk.load_dictionary({options.dictionary!r})" if options.dictionary else "model.dictionary()"
    source = (
        "import steerkit as sk\nimport steerkit_widgets as skw\nfrom IPython.display import clear_output\n\n"
        f"model = sk.load({options.model!r})\nlab = skw.Lab(model, {dictionary}, prompt={options.prompt!r})\n"
        "clear_output()  # of progress bars\nlab"
    )
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(metadata={"kernelspec": kernel}, cells=[v4.new_code_cell(source)])


def serve(options: argparse.Namespace) -> None:
    """Serve the lab until it is interrupted.

    Raises:
        EngineError: Voila, or what comes with it, is not installed.
    """
    try:
        import nbformat
        from jupyter_core.utils import run_sync
        from voila.app import Voila
    except ImportError as error:
        missing = (error.name or "voila").partition(".")[0]
        raise EngineError(
            f"steerkit lab needs the package {missing}, which is not installed. Install steerkit-lab[lab]."
        ) from None

    class Server(Voila):
        def launch_browser(self) -> None:
            # Voila's own opens an address without the token.
            print(f"The lab is at {self.display_url}\nCtrl-C ends it.", flush=True)
            if not options.no_browser:
                webbrowser.open(self.display_url)

        def stop(self) -> None:
            # Kernels have nothing to save: they are not asked to end first.
            run_sync(self.kernel_manager.shutdown_all)(now=True)
            super().stop()

    with tempfile.TemporaryDirectory(prefix="steerkit-lab-") as folder:
        path = Path(folder) / "lab.ipynb"
        nbformat.write(notebook(options), path)
        # Voila says on every page what its author needs to know; what goes wrong in the notebook shows on the page.
        for name in ("tornado.application", "tornado.general"):
            logging.getLogger(name).setLevel(logging.ERROR)
        server = Server()
        # As options of a command line, which no configuration of Voila's overrides.
        server.initialize(
            [
                str(path),
                *("--Voila.ip=127.0.0.1", f"--port={options.port}", "--Voila.auto_token=True"),
                *("--Voila.open_browser=True", "--Voila.log_level=ERROR"),
                *(f"--theme={options.theme}", "--show_tracebacks=True"),
                *(f"--VoilaConfiguration.extension_allowlist={name}" for name in EXTENSIONS),
            ]
        )
        server.tornado_settings = {"headers": {"Content-Security-Policy": ALLOWED}}
        server.start()
    print("The lab has ended.")
