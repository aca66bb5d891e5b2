/** The dialog behind the call that Python makes to this window. */
import { byId, html } from "./dom.js";
import type { Answer, Question } from "./generated/conductor.js";

export interface QuestionDialog {
  /** Show the question until it is answered or `signal` says that nobody waits for the answer any more. */
  ask(question: Question, signal: AbortSignal): Promise<Answer>;
}

/**
 * @param urlOf the thumbnail of a file
 * @param giveUp what happens when the person would rather stop the run
 */
export function createQuestionDialog(
  urlOf: (file: string) => string | undefined,
  giveUp: () => void,
): QuestionDialog {
  const dialog = byId("question", HTMLDialogElement);
  const form = byId("question-form", HTMLFormElement);
  const prompt = byId("question-prompt", HTMLHeadingElement);
  const images = byId("question-images", HTMLDivElement);
  const count = byId("question-count", HTMLParagraphElement);
  const title = byId("question-title", HTMLInputElement);

  const checked = (): string[] =>
    [...images.querySelectorAll("input")].filter((box) => box.checked).map((box) => box.value);
  const showCount = (): void => {
    count.textContent = `${checked().length} of ${images.childElementCount} chosen`;
  };

  images.addEventListener("change", showCount);
  byId("question-cancel", HTMLButtonElement).addEventListener("click", giveUp);
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault(); // Esc: the dialog closes when the run does
    giveUp();
  });

  return {
    ask: (question, signal) =>
      new Promise((resolve, reject) => {
        prompt.textContent = question.prompt;
        title.value = question.suggested_title;
        images.replaceChildren(...question.images.map((file) => choice(file, urlOf(file))));
        showCount();

        const done = new AbortController();
        const close = (): void => {
          done.abort();
          dialog.close();
        };
        form.addEventListener(
          "submit",
          (event) => {
            event.preventDefault();
            close();
            resolve({ keep: checked(), title: title.value.trim() || question.suggested_title });
          },
          { signal: done.signal },
        );
        signal.addEventListener(
          "abort",
          () => {
            close();
            reject(signal.reason);
          },
          { signal: done.signal },
        );
        dialog.showModal();
      }),
  };
}

function choice(file: string, url: string | undefined): HTMLLabelElement {
  return html(
    "label",
    { class: "choice" },
    html("input", { type: "checkbox", value: file, checked: true }),
    html("img", { src: url, alt: "" }),
    html("span", {}, file),
  );
}
