import type { Failure } from "../host/protocol";

/** What happened in bold, then what is valid and what to do. */
export function Alarm({ message, hint }: Failure) {
  const [what = ""] = /^.*?(\.(?=\s|$)|$)/s.exec(message)!;
  return (
    <div class="sk-failure" role="alert">
      <b>{what}</b>
      {message.slice(what.length)} {hint}
    </div>
  );
}

export function Mismatch() {
  return (
    <p class="sk-root">
      This page and steerkit in the kernel are of different versions. Restart the kernel, run the
      cell again, and reload the page.
    </p>
  );
}
