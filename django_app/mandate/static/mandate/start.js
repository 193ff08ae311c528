// What the chosen models' runs would cost, as the form is filled in. The server says the same after a reload.

const PLACES = 4;

const form = document.querySelector("form.start");
const size = form.querySelector("[data-size]");
const total = form.querySelector("#estimate");
const unknown = form.querySelector("#unknown");
const boxes = [...form.querySelectorAll("input[name=models]")];

function costOf(box) {
  return box.closest("label").querySelector("[data-each]");
}

function times() {
  return size && /^[1-9][0-9]{0,5}$/.test(size.value) ? Number(size.value) : 1;
}

function tell() {
  for (const box of boxes) {
    const cost = costOf(box);
    if (cost) cost.querySelector("span").textContent = (cost.dataset.each * times()).toFixed(PLACES);
  }
  const chosen = boxes.filter((box) => box.checked);
  const known = chosen.map(costOf).filter((cost) => cost !== null);
  const sum = known.reduce((before, cost) => before + Number(cost.dataset.each), 0) * times();
  total.textContent = known.length ? `about ${sum.toFixed(PLACES)}` : "not known";
  const others = chosen.filter((box) => costOf(box) === null).map((box) => box.value);
  unknown.hidden = others.length === 0;
  unknown.querySelector("span").textContent = others.join(", ");
}

if (total) form.addEventListener("input", tell);
