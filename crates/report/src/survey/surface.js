"use strict";
(() => {
  const canvas = document.getElementById("shape");
  const data = document.getElementById("shape-data");
  if (!canvas || !data) return;
  const { steps, heights, losses, colors } = JSON.parse(data.textContent);
  const side = steps.length, ink = canvas.getContext("2d");
  const said = document.getElementById("shape-said");
  const start = { yaw: 0.7, pitch: 0.6, zoom: 1 };
  let view = { ...start }, at = (side * side - 1) / 2 | 0, points = [];
  const place = (i, j, h) => {
    const x = 2 * j / (side - 1) - 1, y = 2 * i / (side - 1) - 1, z = 1.2 * h - 0.6;
    const [s, c] = [Math.sin(view.yaw), Math.cos(view.yaw)];
    const [u, v] = [c * x - s * y, s * x + c * y];
    const [t, k] = [Math.sin(view.pitch), Math.cos(view.pitch)];
    return [u, z * k + v * t, v * k - z * t];
  };
  const draw = () => {
    const width = canvas.clientWidth, height = canvas.clientHeight, dots = window.devicePixelRatio || 1;
    canvas.width = width * dots;
    canvas.height = height * dots;
    ink.setTransform(dots, 0, 0, dots, 0, 0);
    const scale = Math.min(width, height) / 3.1 * view.zoom;
    const pixel = ([x, y]) => [width / 2 + scale * x, height / 2 - scale * y];
    points = heights.map((h, n) => h === null ? null : place(n / side | 0, n % side, h));
    const cells = [];
    for (let i = 0; i + 1 < side; i++) for (let j = 0; j + 1 < side; j++) {
      const corners = [i * side + j, i * side + j + 1, (i + 1) * side + j + 1, (i + 1) * side + j];
      if (corners.some(n => points[n] === null)) continue;
      const depth = corners.reduce((sum, n) => sum + points[n][2], 0);
      const mean = corners.reduce((sum, n) => sum + heights[n], 0) / 4;
      cells.push({ corners, depth, mean });
    }
    cells.sort((a, b) => b.depth - a.depth);
    ink.clearRect(0, 0, width, height);
    ink.lineWidth = 0.6;
    for (const { corners, mean } of cells) {
      ink.beginPath();
      corners.forEach((n, k) => ink[k ? "lineTo" : "moveTo"](...pixel(points[n])));
      ink.closePath();
      ink.fillStyle = colors[Math.min(colors.length - 1, mean * colors.length | 0)];
      ink.fill();
      ink.strokeStyle = "rgba(0,0,0,.25)";
      ink.stroke();
    }
    if (points[at]) {
      const [x, y] = pixel(points[at]);
      ink.beginPath();
      ink.arc(x, y, 5, 0, 2 * Math.PI);
      ink.fillStyle = "#fff";
      ink.fill();
      ink.lineWidth = 2;
      ink.strokeStyle = "#000";
      ink.stroke();
    }
    const [a, b] = [steps[at / side | 0], steps[at % side]];
    said.textContent = `Loss ${losses[at]} at ${a.toFixed(2)} along the first and ${b.toFixed(2)} along the second direction.`;
  };
  const move = (rows, columns) => {
    const clamp = n => Math.max(0, Math.min(side - 1, n));
    at = clamp((at / side | 0) + rows) * side + clamp(at % side + columns);
  };
  const turn = (yaw, pitch) => {
    view.yaw += yaw;
    view.pitch = Math.max(-1.5, Math.min(1.5, view.pitch + pitch));
  };
  canvas.addEventListener("keydown", event => {
    const arrows = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [1, 0], ArrowDown: [-1, 0] };
    const arrow = arrows[event.key];
    if (arrow && event.shiftKey) move(...arrow);
    else if (arrow) turn(0.1 * arrow[1], 0.1 * arrow[0]);
    else if (event.key === "+" || event.key === "=") view.zoom *= 1.1;
    else if (event.key === "-") view.zoom /= 1.1;
    else if (event.key === "Home") view = { ...start };
    else return;
    event.preventDefault();
    draw();
  });
  canvas.addEventListener("pointerdown", event => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", event => {
    if (!event.buttons) return;
    turn(event.movementX / 150, event.movementY / 150);
    draw();
  });
  new ResizeObserver(draw).observe(canvas);
})();
