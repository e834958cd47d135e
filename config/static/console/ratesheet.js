"use strict";

// Progress of a rate sheet: the share that is uploaded, then the lines that are read. Without it, these are plain forms.
(() => {
  const EVERY = 500;
  const upload = document.querySelector("form[data-upload]");

  const lineOf = (form) => form.querySelector("[data-progress-line]");
  const buttonsOf = (form) => form.querySelectorAll("input[type=submit]");

  function hold(form, isHeld) {
    for (const button of buttonsOf(form)) {
      button.disabled = isHeld;
    }
  }

  // Goes on until the answer of the form replaces the page.
  function watch(form, url) {
    const ask = async () => {
      try {
        const { progress } = await (await fetch(url, { headers: { Accept: "application/json" } })).json();
        lineOf(form).textContent = progress ? `Lines read so far: ${progress.toLocaleString("en")}` : "Reading…";
      } catch {
        // The next answer will tell.
      }
      setTimeout(ask, EVERY);
    };
    ask();
  }

  function complain(form, name, messages) {
    const row = form.querySelector(`.field-${CSS.escape(name)}`) ?? form;
    const list = document.createElement("ul");
    list.className = "errorlist";
    list.append(...messages.map((message) => Object.assign(document.createElement("li"), { textContent: message })));
    row.classList.add("errors");
    row.prepend(list);
  }

  function forgive(form) {
    form.querySelectorAll(".errorlist, .errornote").forEach((list) => list.remove());
    form.querySelectorAll(".errors").forEach((row) => row.classList.remove("errors"));
  }

  function refuse(form, errors) {
    lineOf(form).textContent = "";
    hold(form, false);
    for (const [name, messages] of Object.entries(errors)) {
      complain(form, name, messages);
    }
    form.querySelector(".errors :is(input, select)")?.focus();
  }

  function send(form) {
    const request = new XMLHttpRequest();
    request.responseType = "json";
    request.open("POST", form.getAttribute("action") ?? window.location.href);
    request.setRequestHeader("Accept", "application/json");
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      const isSent = loaded === total;
      lineOf(form).textContent = isSent ? "Looking at the file…" : `Uploaded ${Math.floor((100 * loaded) / total)} %`;
    });
    request.addEventListener("load", () => {
      const answer = request.response;
      if (request.status === 201) {
        watch(form, answer.progress);
        form.elements.file.disabled = true; // it is there already
        form.action = answer.preview;
        form.submit();
      } else {
        const words = `The server did not take the file (status ${request.status}). Load the page again.`;
        refuse(form, answer?.errors ?? { file: [words] });
      }
    });
    request.addEventListener("error", () => {
      refuse(form, { file: ["The upload broke off: the server does not answer. Try again."] });
    });
    request.send(new FormData(form));
  }

  upload?.addEventListener("submit", (event) => {
    event.preventDefault();
    forgive(upload);
    hold(upload, true);
    const [file] = upload.elements.file.files;
    if (file && file.size > Number(upload.dataset.most)) {
      refuse(upload, { file: [upload.dataset.tooLarge] });
    } else {
      send(upload);
    }
  });

  for (const form of document.querySelectorAll("form[data-progress], form[data-busy]")) {
    form.addEventListener("submit", () => {
      hold(form, true);
      if (form.dataset.progress) {
        watch(form, form.dataset.progress);
      } else {
        lineOf(form).textContent = form.dataset.busy;
      }
    });
  }

  // A page that the browser kept is as it was when its form was sent.
  window.addEventListener("pageshow", ({ persisted }) => {
    if (persisted) {
      window.location.reload();
    }
  });
})();
