"use strict";
(() => {
  const form = document.getElementById("filter");
  const words = document.getElementById("words");
  const state = document.getElementById("state");
  const shown = document.getElementById("shown");
  const rows = [...document.querySelectorAll("#machine-rows tbody tr")];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const groups = [...document.querySelectorAll("section.problem")];
  const groupTexts = groups.map((group) => group.textContent.toLowerCase());
  const apply = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const has = (text) => wanted.every((word) => text.includes(word));
    let count = 0;
    rows.forEach((row, n) => {
      row.hidden = !has(texts[n]) || (state.value !== "" && row.dataset.ready !== state.value);
      count += row.hidden ? 0 : 1;
    });
    groups.forEach((group, n) => { group.hidden = !has(groupTexts[n]); });
    shown.textContent = `${count} of ${rows.length} machines shown`;
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  words.addEventListener("input", apply);
  state.addEventListener("change", apply);
  // A link to a machine that the filter hides shows it again.
  window.addEventListener("hashchange", () => {
    const row = document.getElementById(location.hash.slice(1));
    if (row && row.hidden) { words.value = ""; state.value = ""; apply(); row.scrollIntoView(); }
  });
  form.hidden = false;
  apply();
})();
