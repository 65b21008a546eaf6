// Around textual-serve's terminal: the font is there before a cell is measured, the keyboard goes
// to the terminal at once, and when the connection ends the page says why.
"use strict";

const sentences = {
  1001: "qtui web has ended.",
  1006: "The connection is lost, or qtui web has ended.",
  4002: "The dashboard has ended.",
};

function focusTerminal() {
  const field = document.querySelector(".xterm-helper-textarea");
  if (field) field.focus();
}

window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener("open", () => setTimeout(focusTerminal));
    this.addEventListener("close", (event) => {
      const said = event.reason || sentences[event.code] || "The dashboard has ended.";
      document.getElementById("why").textContent = said;
      setTimeout(() => document.getElementById("start").focus());
    });
  }

  // Keys that are typed after the end, or before the beginning, go nowhere.
  send(data) {
    if (this.readyState === WebSocket.OPEN) super.send(data);
  }
};

const begin = window.onload;
window.onload = async (event) => {
  document.getElementById("start").addEventListener("click", () => location.reload());
  const faces = ["", "bold ", "italic "].map((face) => `${face}15px "Roboto Mono"`);
  await Promise.allSettled(faces.map((face) => document.fonts.load(face)));
  begin.call(window, event);
};
