import type { AnyModel } from "@anywidget/types";

/**
 * Says, in words, why the kernel has not answered.
 *
 * JupyterLab's widget manager holds the connection to the kernel; other hosts do not show it, and an
 * exported page has none.
 */
export function silenceOf(model: Pick<AnyModel, "widget_manager">, gone: boolean): string {
  const { kernel } = model.widget_manager as unknown as { kernel?: { status?: string } | null };
  if (gone) {
    return kernel === undefined
      ? "No answer from a kernel: a saved page has none. What is shown here stays; open the notebook and run the cell for more."
      : "The kernel is gone. Run the cell again; what is shown here stays.";
  }
  switch (kernel?.status) {
    case "busy":
      return "The kernel is busy: a cell is running. This starts as soon as the cell lets it.";
    case "idle":
      return "The kernel has not answered yet. If it was restarted, run the cell again; what is shown here stays.";
    case "starting":
    case "restarting":
    case "autorestarting":
      return "The kernel is starting. Run the cell again once it is ready.";
    case "dead":
    case "terminating":
      return "The kernel has stopped. Restart it and run the cell again; what is shown here stays.";
    default:
      return "No answer from a kernel yet. A saved page has none: open the notebook and run the cell.";
  }
}
