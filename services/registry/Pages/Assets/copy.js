// A button beside every command that copies it. Without scripts the text can be marked and copied as any other.
const offer = (root) => {
  if (!navigator.clipboard) return;
  for (const command of root.querySelectorAll("pre.command:not([data-copies])")) {
    command.dataset.copies = "";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(command.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    command.append(button);
  }
};
offer(document);
document.addEventListener("parts-changed", () => offer(document));
