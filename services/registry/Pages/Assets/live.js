// Reads the page again whenever the pipeline that it shows has changed. Without scripts a reload does the same.
const watch = () => {
  const status = document.querySelector("[data-live]");
  if (!status || !status.dataset.live) return;
  const source = new EventSource(status.dataset.live);
  let first = true;
  source.addEventListener("pipeline", async () => {
    if (first) { first = false; return; }
    const text = await (await fetch(location.href)).text();
    const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main");
    document.querySelector("main").replaceChildren(...fresh.childNodes);
    const now = document.querySelector("[data-live]");
    if (!now || !now.dataset.live) source.close();
  });
  source.onerror = () => source.close();
};
watch();
