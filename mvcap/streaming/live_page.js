// The page of a live view: facts twice a second; each picture again when the last one has arrived.

const $ = (id) => document.getElementById(id);

function picture(path, about) {
  const image = document.createElement("img");
  image.alt = about;
  const next = () => setTimeout(() => { image.src = `${path}?${Date.now()}`; }, 150);
  image.onload = next; image.onerror = next;
  $("views").append(image);
  next();
}

async function ask() {
  try {
    const status = await (await fetch("status.json")).json();
    if (!$("views").children.length && status.moments) {
      picture("scene.jpg", "people in 3D");
      status.views.forEach((name, number) => picture(`view/${number}.jpg`, `people in ${name}`));
    }
    const people = status.people.length ? `people ${status.people.join(", ")}` : "no people with a number";
    $("facts").textContent = status.moments
      ? `${people} · ${status.rate_hz.toFixed(1)} moments a second, ${(1000 * status.delay_s).toFixed(0)} ms after capture, ${status.passed} frames passed over`
      : status.phase;
    $("message").textContent = status.faults.join("; ");
  } catch { $("message").textContent = "mvcap live has ended."; }
  setTimeout(ask, 500);
}

$("stop").onclick = () => fetch("stop", { method: "POST" });
ask();
