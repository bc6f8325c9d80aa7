"use strict";
const list = document.getElementById("builds");
const all = Array.from(list.children);
const get = (id) => document.getElementById(id);

function show() {
  const words = get("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const build of all) {
    const text = build.querySelector("summary").textContent.toLowerCase();
    const fits = words.every((word) => text.includes(word)) &&
      (!get("failed").checked || build.classList.contains("failed-build"));
    build.hidden = !fits;
    count += fits;
  }
  get("shown").textContent = count === all.length ? "" : count + " of " + all.length;
  const order = all.slice();
  if (get("longest").checked) order.sort((a, b) => b.dataset.seconds - a.dataset.seconds);
  list.append(...order);
}

function open() {
  const build = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (build && build.tagName === "DETAILS") {
    build.hidden = false;
    build.open = true;
    build.scrollIntoView({ block: "center" });
    build.querySelector("summary").focus({ preventScroll: true });
  }
}

for (const id of ["filter", "failed", "longest"]) get(id).addEventListener("input", show);
document.querySelector(".filter").hidden = all.length < 4;
window.addEventListener("hashchange", open);
window.addEventListener("beforeprint", () =>
  document.querySelectorAll("details.failure").forEach((failure) => { failure.open = true; }));
open();
