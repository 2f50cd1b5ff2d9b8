// Keeps the parts of the page up to date while something is under way: whenever the pipeline says so, else every few seconds.
// The server makes the page; this only puts the parts that changed in place. Without scripts a reload does the same.
const ended = ["succeeded", "failed", "cancelled"];
const main = document.getElementById("main");
let source = null;
let timer = null;
let isReading = false;
let isAsked = false;
let why = "";

const keyOf = (element) => element && (element.id || element.getAttribute("href") || element.name);

const put = (part, fresh) => {
  if (part.innerHTML === fresh.innerHTML) return;
  const key = part.contains(document.activeElement) ? keyOf(document.activeElement) : null;
  const ticked = [...part.querySelectorAll("input[type=checkbox]:checked")].map((box) => box.value);
  const open = [...part.querySelectorAll("details")].map((details) => details.open);
  part.innerHTML = fresh.innerHTML;
  for (const box of part.querySelectorAll("input[type=checkbox]")) box.checked = ticked.includes(box.value);
  part.querySelectorAll("details").forEach((details, index) => { if (open[index]) details.open = true; });
  if (key) [...part.querySelectorAll("a, button, input, select")].find((element) => keyOf(element) === key)?.focus();
};

const stop = () => {
  source?.close();
  clearInterval(timer);
};

// Browsers that read a page for the same reason get the same answer, which the server makes once.
const read = async (reason) => {
  isAsked = true;
  why = reason;
  if (isReading) return;
  isReading = true;
  while (isAsked) {
    isAsked = false;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html", "X-Refresh": why } });
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const part of document.querySelectorAll("[data-part]")) {
          const next = fresh.getElementById(part.id);
          if (next) put(part, next);
        }
        document.dispatchEvent(new Event("parts-changed"));
        if (!fresh.getElementById("main").dataset.refresh) stop();
      }
    } catch {
      // The registry is away for a moment: the next look finds it.
    }
    await new Promise((done) => { setTimeout(done, 300); });
  }
  isReading = false;
};

if (main.dataset.events) {
  source = new EventSource(main.dataset.events);
  source.addEventListener("pipeline", (event) => {
    const { state, stage, done, total } = JSON.parse(event.data);
    if (ended.includes(state)) source.close();
    read(`${state} ${stage} ${done} ${total}`);
  });
}
if (main.dataset.refresh) timer = setInterval(() => { if (!document.hidden) read("time"); }, 1000 * Number(main.dataset.refresh));
