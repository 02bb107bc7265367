(() => {
  const form = document.querySelector(".filters");
  if (!form) return;
  const examples = [...document.querySelectorAll(".example")];
  const texts = examples.map((example) => example.textContent.toLowerCase());
  const [words, agreement, method, result, count] =
    ["words", "agreement", "method", "result", "count"].map((name) => document.getElementById(name));

  function fits(example, text) {
    if (!text.includes(words.value.trim().toLowerCase())) return false;
    if (agreement.value && example.dataset.agreement !== agreement.value) return false;
    const answers = [...example.querySelectorAll(".answer")].filter(
      (answer) => !method.value || answer.dataset.method === method.value);
    return answers.some((answer) => !result.value || answer.dataset.result === result.value);
  }

  function filter() {
    examples.forEach((example, place) => { example.hidden = !fits(example, texts[place]); });
    const shown = examples.filter((example) => !example.hidden).length;
    count.textContent = `${shown} of ${examples.length} questions shown`;
  }

  function setOpen(isOpen) {
    examples.forEach((example) => { if (!example.hidden) example.open = isOpen; });
  }

  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("open").addEventListener("click", () => setOpen(true));
  document.getElementById("close").addEventListener("click", () => setOpen(false));
  form.hidden = false;
  filter();
})();
