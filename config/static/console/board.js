"use strict";

// The board refreshes itself: it fetches its own address and puts the marked parts of the answer in place of its own.
(() => {
  const EVERY = 10_000;
  const PATIENCE = 8_000;
  const state = document.getElementById("board-state");
  const button = document.getElementById("board-pause");
  let isPaused = false;
  let isRunning = false;

  const clock = () => document.querySelector('[data-live="clock"] time').textContent;
  const parts = (page) => page.querySelectorAll("[data-live]");

  // Somebody who types in a part, or who has marked text there in order to copy it, is not to be disturbed.
  function isBusy() {
    if (document.activeElement?.matches("[data-live] :is(input, select, textarea)")) {
      return true;
    }
    const selection = window.getSelection();
    return !selection.isCollapsed && [...parts(document)].some((part) => selection.containsNode(part, true));
  }

  // Rows come and go; the link that had the focus is known by its address.
  function holdFocus() {
    const focused = document.activeElement;
    const part = focused?.closest("[data-live]");
    const href = part && focused.getAttribute("href");
    return () => {
      if (href) {
        const name = CSS.escape(part.dataset.live);
        const same = document.querySelector(`[data-live="${name}"] [href="${CSS.escape(href)}"]`);
        same?.focus({ preventScroll: true });
      }
    };
  }

  function swap(page) {
    const restoreFocus = holdFocus();
    const { scrollX, scrollY } = window;
    for (const part of parts(document)) {
      const fresh = page.querySelector(`[data-live="${CSS.escape(part.dataset.live)}"]`);
      if (fresh) {
        part.replaceChildren(...fresh.childNodes);
      }
    }
    restoreFocus();
    window.scrollTo(scrollX, scrollY);
  }

  function say(text, isOld = false) {
    document.body.classList.toggle("board-old", isOld);
    if (state.textContent !== text) {
      state.textContent = text;
    }
  }

  async function refresh() {
    if (isRunning || isPaused || document.hidden || isBusy()) {
      return;
    }
    isRunning = true;
    try {
      const answer = await fetch(window.location.href, {
        cache: "no-store",
        headers: { Accept: "text/html" },
        signal: AbortSignal.timeout(PATIENCE),
      });
      if (answer.redirected) {
        say("You are logged out: load the page again.", true);
        return;
      }
      if (!answer.ok) {
        throw new Error(`status ${answer.status}`);
      }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!page.querySelector('[data-live="rows"]')) {
        throw new Error("not the board");
      }
      // The answer took a while: somebody may have begun to mark text.
      if (!isBusy() && !isPaused) {
        swap(page);
        say("");
      }
    } catch {
      say(`Not refreshed since ${clock()} UTC: the server does not answer.`, true);
    } finally {
      isRunning = false;
    }
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    isPaused = !isPaused;
    button.textContent = isPaused ? "Resume" : "Pause";
    say(isPaused ? "Paused." : "");
    refresh();
  });
  document.addEventListener("visibilitychange", refresh);
  setInterval(refresh, EVERY);
})();
