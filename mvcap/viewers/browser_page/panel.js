// What stands beside the scene: switches for people and layers, the facts of a joint, the keys.

const LAYERS = [
  ["raw", "raw poses"], ["truth", "ground truth"], ["uncertainty", "uncertainty (95 %)"], ["cameras", "cameras"],
  ["pictures", "their pictures"], ["cloud", "point cloud"], ["meshes", "meshes"], ["floor", "floor"], ["overlay", "skeletons on videos"],
];

function box(name, text, checked, changed, dot) {
  const label = document.createElement("label"), input = document.createElement("input");
  input.type = "checkbox"; input.name = name; input.checked = checked;
  input.onchange = () => { changed(input.checked); input.blur(); };
  label.append(input);
  if (dot) { const mark = document.createElement("span"); mark.className = "dot"; mark.style.background = dot; label.append(mark); }
  label.append(text);
  return label;
}

export function personBoxes(viewer, place) {
  const { persons, rate_hz: rate } = viewer.about;
  for (const { id, colour, first, last } of persons) {
    place.append(box(`person${id}`, `${id} (${(first / rate).toFixed(1)}–${(last / rate).toFixed(1)} s)`, true, (on) => viewer.setPerson(id, on), colour));
  }
  if (!persons.length) place.textContent = "No people were reconstructed.";
}

export function layerBoxes(viewer, place, legend) {
  const { about } = viewer;
  const there = { truth: !!about.kinds.truth, cloud: !!about.clouds, raw: !!about.kinds.track, meshes: !!about.meshes };
  for (const [name, text] of LAYERS) if (there[name] ?? true) place.append(box(name, text, viewer.layers[name], (on) => viewer.setLayer(name, on)));
  if (about.meshes) place.append(opacity(viewer));
  legend.textContent = "Joints: full colour and size where two or more views measured them; paler and smaller where one view, "
    + "time, or only the rest of the body tells where they are."
    + (about.kinds.truth ? " Beside ground truth: green 0, yellow 30, red 100 mm and more." : "");
}

function opacity(viewer) {
  const label = document.createElement("label"), input = document.createElement("input");
  Object.assign(input, { type: "range", name: "opacity", min: 0.1, max: 1, step: 0.05, value: viewer.meshes.opacity });
  input.oninput = () => { viewer.meshes.setOpacity(+input.value); viewer.scene.wanted(); };
  input.onchange = () => input.blur();
  label.append("opacity of meshes", input);
  return label;
}

export function keyTable(keys, table) {
  for (const [, shown, text] of keys) {
    const row = table.insertRow(), key = document.createElement("kbd");
    key.textContent = shown; row.insertCell().append(key); row.insertCell().textContent = text;
  }
}

// The facts of the joint that was clicked, at the frame shown, and its error in the frames around it.
export function inspect(viewer, place) {
  const { picked, about, frame } = viewer;
  place.hidden = !picked;
  if (!picked) return;
  const chunk = viewer.chunks[picked.kind].at(frame, () => {});
  const row = (chunk?.rows.get(frame) ?? []).find((one) => chunk.person[one] === picked.person);
  const joints = about.skeletons[picked.kind].joints, name = joints[picked.joint].replaceAll("_", " ");
  const title = document.createElement("b");
  title.textContent = `Person ${picked.person}, ${name} (${about.kinds[picked.kind]})`;
  place.replaceChildren(title);
  if (row === undefined) { place.append("not there at this frame"); return; }
  const at = row * joints.length + picked.joint, xyz = [...chunk.xyz.subarray(3 * at, 3 * at + 3)];
  const cov = chunk.cov.subarray(6 * at, 6 * at + 6), sigma = [0, 3, 5].map((k) => 1000 * Math.sqrt(Math.max(cov[k], 0)));
  const code = chunk.source[at], how = Object.entries(about.provenance).find(([, codes]) => codes.includes(code))?.[0] ?? "missing";
  const facts = Number.isFinite(xyz[0])
    ? [`x ${xyz[0].toFixed(3)}  y ${xyz[1].toFixed(3)}  z ${xyz[2].toFixed(3)} m`,
      Number.isFinite(sigma[0]) ? `± ${sigma.map((one) => one.toFixed(0)).join(", ")} mm (standard deviation)` : "uncertainty unknown",
      `${how}, ${chunk.views[at]} views, reprojection error ${Number.isFinite(chunk.error_px[at]) ? chunk.error_px[at].toFixed(1) : "–"} px`]
    : ["missing at this frame"];
  for (const text of facts) { const line = document.createElement("div"); line.textContent = text; place.append(line); }
  place.append(history(chunk, picked, joints.length, frame, viewer.colours.get(picked.person) ?? "#888"));
}

function history(chunk, picked, joints, frame, colour) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [576, 160];
  const pen = canvas.getContext("2d"), points = [];
  for (let row = 0; row < chunk.frame.length; row++) {
    const error = chunk.error_px[row * joints + picked.joint];
    if (chunk.person[row] === picked.person && Number.isFinite(error)) points.push([chunk.frame[row], error]);
  }
  if (!points.length) return canvas;
  const [first, last] = [points[0][0], Math.max(points[points.length - 1][0], points[0][0] + 1)], most = Math.max(...points.map(([, e]) => e), 1);
  const place = ([at, error]) => [(at - first) / (last - first) * 570 + 3, 155 - error / most * 120];
  pen.strokeStyle = colour; pen.lineWidth = 3; pen.beginPath();
  points.forEach((one, n) => (n ? pen.lineTo(...place(one)) : pen.moveTo(...place(one))));
  pen.stroke();
  pen.fillStyle = "#888"; pen.font = "22px system-ui"; pen.fillText(`reprojection error, up to ${most.toFixed(1)} px`, 4, 22);
  pen.fillRect(place([frame, 0])[0] - 1, 30, 2, 130);
  return canvas;
}
