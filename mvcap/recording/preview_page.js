// The page of a recording: asks for the facts twice a second, and for each picture when the last one has arrived.

const $ = (id) => document.getElementById(id);
const shown = new Map(); // name of a view -> its elements

function figure(view, number) {
  const box = document.createElement("figure"), image = document.createElement("img"), text = document.createElement("figcaption");
  image.alt = `newest picture of ${view.name}`;
  const next = () => setTimeout(() => { image.src = `view/${number}.jpg?${Date.now()}`; }, 300);
  image.onload = next; image.onerror = next;
  box.append(image, text);
  $("views").append(box);
  next();
  return { box, text };
}

function lines(view) {
  const rate = view.rate_hz === null ? "no rate yet" : `${view.rate_hz.toFixed(2)} Hz${view.declared_hz ? ` (says ${view.declared_hz.toFixed(2)})` : ""}`;
  const size = view.size ? `${view.size[0]} × ${view.size[1]}, ` : "";
  const board = view.board === undefined ? "" : `, board has covered ${Math.round(100 * view.board)} %`;
  const people = view.people === undefined ? "" : `, ${view.people} ${view.people === 1 ? "person" : "people"}`;
  const facts = `${size}${rate}, ${view.written} frames written, ${view.lost} lost, queue ${Math.round(100 * view.queued)} %${people}${board}`;
  const warnings = [...view.warnings];
  if (!view.connected) warnings.unshift(view.fault || "not connected");
  if (view.reconnections) warnings.push(`came back ${view.reconnections} times`);
  return { facts, warnings };
}

function show(status) {
  $("folder").textContent = status.folder;
  $("phase").textContent = status.phase; $("phase").className = status.phase;
  $("clock").textContent = `${status.seconds.toFixed(1)} s`;
  $("free").textContent = `${status.free_gb.toFixed(1)} GB free`;
  $("start").hidden = status.phase !== "ready"; $("stop").hidden = !["ready", "recording"].includes(status.phase);
  $("message").textContent = status.reason;
  status.views.forEach((view, number) => {
    if (!shown.has(view.name)) shown.set(view.name, figure(view, number));
    const { box, text } = shown.get(view.name), { facts, warnings } = lines(view);
    box.className = view.connected ? "" : "away";
    const name = document.createElement("b"), warn = document.createElement("div");
    name.textContent = view.name;
    warn.className = "warn"; warn.textContent = warnings.join("; ");
    text.replaceChildren(name, facts, warn);
  });
}

async function ask() {
  try {
    show(await (await fetch("status.json")).json());
  } catch { $("message").textContent = "mvcap record has ended."; }
  setTimeout(ask, 500);
}

for (const action of ["start", "stop"]) $(action).onclick = () => fetch(action, { method: "POST" });
ask();
