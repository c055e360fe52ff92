"use strict";
(() => {
  const tip = document.getElementById("tip");
  let lit = null;
  const hide = () => { tip.hidden = true; if (lit) lit.classList.remove("lit"); lit = null; };
  const show = (mark) => {
    if (mark === lit) return;
    hide();
    lit = mark;
    mark.classList.add("lit");
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const at = mark.getBoundingClientRect(), box = tip.getBoundingClientRect();
    const x = Math.min(Math.max(at.left + at.width / 2 - box.width / 2, 6), innerWidth - box.width - 6);
    const above = at.top - box.height - 8;
    tip.style.left = x + "px";
    tip.style.top = (above > 4 ? above : at.bottom + 8) + "px";
  };
  // the browser's own tooltips give way to ours; the text stays the mark's name
  for (const mark of document.querySelectorAll(".fig .m")) {
    const title = mark.querySelector("title");
    mark.dataset.tip = title.textContent;
    mark.setAttribute("aria-label", title.textContent);
    if (mark.tagName === "a") mark.setAttribute("tabindex", "-1");
    title.remove();
  }
  document.addEventListener("pointerover", (event) => {
    const mark = event.target.closest(".fig .m");
    if (mark) show(mark); else hide();
  });
  document.addEventListener("scroll", hide, { passive: true, capture: true });
  // one stop per figure; arrows walk its marks from left to right, Enter follows a trial's link
  for (const figure of document.querySelectorAll("svg.fig")) {
    const marks = [...figure.querySelectorAll(".m")];
    if (!marks.length) continue;
    figure.setAttribute("tabindex", "0");
    let order = null, place = -1;
    figure.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (step) {
        order ??= marks.map((m) => [m, m.getBoundingClientRect()])
          .sort((a, b) => a[1].left + a[1].width / 2 - b[1].left - b[1].width / 2 || a[1].top - b[1].top).map((p) => p[0]);
        place = (place + step + order.length) % order.length;
        show(order[place]);
        event.preventDefault();
      } else if (event.key === "Enter" && lit && lit.href) {
        location.hash = lit.href.baseVal;
      } else if (event.key === "Escape") {
        hide();
      }
    });
    figure.addEventListener("blur", () => { hide(); place = -1; });
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((h) => h.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
        const rows = [...table.tBodies[0].rows].map((row) => [row, key(row)]);
        rows.sort((a, b) => (a[1] === "") - (b[1] === "") || (down ? -1 : 1) * (a[1] - b[1] || a[1].localeCompare(b[1], "en", { numeric: true })));
        table.tBodies[0].append(...rows.map((r) => r[0]));
      });
    });
  }
})();
