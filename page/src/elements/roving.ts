/** One stop of the Tab key for a row of buttons, among which arrow keys go. */

/** Let arrow keys go from button to button of a toolbar. */
export function roveFocus(bar: HTMLElement): void {
  const buttons = () => [...bar.querySelectorAll("button")].filter(({ disabled }) => !disabled);
  const hold = (chosen: HTMLButtonElement | undefined) => {
    for (const other of bar.querySelectorAll("button")) other.tabIndex = other === chosen ? 0 : -1;
  };
  hold(buttons()[0]);
  bar.addEventListener("focusin", (event) => hold(event.target as HTMLButtonElement));
  bar.addEventListener("keydown", (event) => {
    const all = buttons();
    const at = all.indexOf(document.activeElement as HTMLButtonElement);
    const steps: Record<string, number> = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    all[(steps[event.key] + all.length) % all.length]?.focus();
  });
}
