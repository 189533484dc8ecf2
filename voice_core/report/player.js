"use strict";
{
const sounds = [...document.querySelectorAll("audio")];
for (const sound of sounds) {
  const wave = sound.closest("article").querySelector(".wave");
  const bar = wave.querySelector("rect"), width = wave.querySelector("svg").viewBox.baseVal.width;
  const show = () => bar.setAttribute("width", sound.duration ? width * sound.currentTime / sound.duration : 0);
  const follow = () => { show(); if (!sound.paused) requestAnimationFrame(follow); };
  sound.addEventListener("play", () => {
    for (const other of sounds) if (other !== sound) other.pause();
    wave.setAttribute("aria-pressed", "true");
    follow();
  });
  sound.addEventListener("pause", () => wave.setAttribute("aria-pressed", "false"));
  sound.addEventListener("seeked", show);
}
for (const wave of document.querySelectorAll(".wave")) {
  const sound = wave.closest("article").querySelector("audio");
  wave.addEventListener("click", (event) => {
    const box = wave.getBoundingClientRect();
    if (event.detail && !sound.paused && sound.duration) {
      sound.currentTime = sound.duration * (event.clientX - box.left) / box.width;
    } else if (sound.paused) { sound.play(); } else { sound.pause(); }
  });
}
for (const talk of document.querySelectorAll(".dialogue")) {
  const sound = talk.querySelector("audio");
  if (!sound) continue;
  const words = [...talk.querySelectorAll(".word")].map((span) => ({ span, start: +span.dataset.start, end: +span.dataset.end }));
  const mark = () => {
    const at = sound.currentTime;
    for (const word of words) word.span.classList.toggle("now", !sound.ended && at > 0 && word.start <= at && at < word.end);
  };
  const follow = () => { mark(); if (!sound.paused) requestAnimationFrame(follow); };
  for (const name of ["seeked", "ended"]) sound.addEventListener(name, mark);
  sound.addEventListener("play", follow);
  for (const from of talk.querySelectorAll("[data-start]")) {
    from.addEventListener("click", () => { sound.currentTime = +from.dataset.start; sound.play(); });
  }
}
}
