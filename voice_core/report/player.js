"use strict";
{
let current = null;  // the sound that was played last
const sounds = [...document.querySelectorAll("audio")];
for (const sound of sounds) {
  sound.addEventListener("play", () => {
    current = sound;
    for (const other of sounds) if (other !== sound) other.pause();
  });
  const wave = sound.closest("article").querySelector(".wave");
  if (!wave) continue;
  const bar = wave.querySelector("rect"), width = wave.querySelector("svg").viewBox.baseVal.width;
  const show = () => bar.setAttribute("width", sound.duration ? width * sound.currentTime / sound.duration : 0);
  const follow = () => { show(); if (!sound.paused) requestAnimationFrame(follow); };
  sound.addEventListener("play", () => {
    wave.setAttribute("aria-pressed", "true");
    follow();
  });
  sound.addEventListener("pause", () => wave.setAttribute("aria-pressed", "false"));
  sound.addEventListener("seeked", show);
  wave.addEventListener("click", (event) => {
    const box = wave.getBoundingClientRect();
    if (event.detail && !sound.paused && sound.duration) {
      sound.currentTime = sound.duration * (event.clientX - box.left) / box.width;
    } else if (sound.paused) { sound.play(); } else { sound.pause(); }
  });
}

// The words of a dialogue have their own times; a chunk of a book has those of all its words.
const readWords = (article) => {
  const words = [...article.querySelectorAll(".word")].map(
    (span) => ({ span, start: +span.dataset.start, end: +span.dataset.end }));
  for (const chunk of article.querySelectorAll("[data-words]")) {
    const at = +chunk.dataset.at, times = chunk.dataset.words.split(" ").map((time) => time / 1000);
    [...chunk.querySelectorAll("i")].forEach((span, n) => {
      words.push({ span, start: at + times[2 * n], end: at + times[2 * n + 1] });
    });
  }
  return words.sort((one, other) => one.start - other.start);
};
// Words of two speakers may overlap, so a few words before the last one that has begun may be spoken, too.
const findSpoken = (words, at) => {
  let low = 0, high = words.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (words[middle].start <= at) low = middle + 1; else high = middle;
  }
  return words.slice(Math.max(0, low - 8), low).filter((word) => at < word.end);
};
const isVisible = (span) => {
  const box = span.getBoundingClientRect();
  return box.top > 70 && box.bottom < innerHeight;  // 70: below the player of a chapter
};
const play = (sound, at) => { sound.currentTime = at; sound.play(); };
const chapters = [...document.querySelectorAll(".chapter")];

for (const article of document.querySelectorAll(".dialogue, .reading")) {
  const sound = article.querySelector("audio");
  if (!sound) continue;
  const isChapter = chapters.includes(article);
  let words = null, lit = [], last = null;
  const mark = () => {
    words ??= readWords(article);
    // A browser seeks to a little before the time that was asked for, which is the start of a word.
    const now = sound.ended || sound.currentTime <= 0 ? [] : findSpoken(words, sound.currentTime + 0.002);
    for (const word of lit) if (!now.includes(word)) word.span.classList.remove("now");
    for (const word of now) word.span.classList.add("now");
    lit = now;
    if (!now.length || now[0] === last) return;
    // The page scrolls along, unless the reader has scrolled away from the word before.
    const follows = isChapter && !sound.paused && (last === null || isVisible(last.span));
    if (follows && !isVisible(now[0].span)) now[0].span.scrollIntoView({ block: "center" });
    last = now[0];
  };
  const follow = () => { mark(); if (!sound.paused) requestAnimationFrame(follow); };
  for (const name of ["seeked", "ended"]) sound.addEventListener(name, mark);
  sound.addEventListener("play", follow);
  article.addEventListener("click", (event) => {
    const from = event.target.closest("[data-start], [data-words] i");
    if (!from) return;
    words ??= readWords(article);
    const word = words.find((item) => item.span === from);
    if (event.detail) from.blur();  // a click leaves the keys to the page; detail is 0 for the keyboard
    play(sound, word ? word.start : +from.dataset.start);
  });
  if (!isChapter) continue;
  sound.addEventListener("ended", () => {
    const next = chapters[chapters.indexOf(article) + 1]?.querySelector("audio");
    if (next) play(next, 0);
  });
}

// Exceptions of a book are played where they are in the text.
for (const button of document.querySelectorAll("[data-chunk]")) {
  button.addEventListener("click", () => {
    const chunk = document.getElementById(button.dataset.chunk);
    chunk.scrollIntoView({ block: "center" });
    play(chunk.closest("article").querySelector("audio"), +chunk.dataset.at);
  });
}

// Keys of a book's page: space to play or pause, arrows for the chunk before and after.
if (chapters.length) document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("a, button, audio, summary")) return;
  const sound = current ?? document.querySelector(".chapter audio");
  if (!sound || ![" ", "ArrowLeft", "ArrowRight"].includes(event.key)) return;
  event.preventDefault();
  if (event.key === " ") {
    if (sound.paused) sound.play(); else sound.pause();
    return;
  }
  const starts = [...sound.closest("article").querySelectorAll("[data-at]")].map((chunk) => +chunk.dataset.at);
  const at = sound.currentTime;
  const start = event.key === "ArrowRight" ? starts.find((time) => time > at + 0.05) : starts.findLast((time) => time < at - 0.5);
  if (start !== undefined) play(sound, start);
});
}
