/** Tabs: one panel of several is shown; arrow keys go from tab to tab. */

import { button, element } from "./element";

export interface Tab {
  name: string;
  title: string;
  panel: HTMLElement;
}

export class Tabs {
  readonly list = element("div", { class: "tabs", attributes: { role: "tablist", "aria-label": "Panels" } });
  private readonly buttons = new Map<string, HTMLButtonElement>();
  private chosen: string;

  constructor(
    private readonly tabs: Tab[],
    private readonly onChoose: (name: string) => void = () => undefined,
  ) {
    this.chosen = tabs[0].name;
    for (const { name, title, panel } of tabs) {
      panel.id ||= `panel-${name}`;
      const tab = button(title, () => this.choose(name), {
        id: `tab-${name}`,
        attributes: { role: "tab", "aria-controls": panel.id },
        on: { keydown: (event) => this.step(event) },
      });
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", tab.id);
      this.buttons.set(name, tab);
      this.list.append(tab);
    }
    this.choose(this.chosen);
  }

  /** Name of the panel that is shown. */
  get current(): string {
    return this.chosen;
  }

  /** Show a panel. */
  choose(name: string): void {
    this.chosen = name;
    for (const tab of this.tabs) {
      const isChosen = tab.name === name;
      const control = this.buttons.get(tab.name);
      control?.setAttribute("aria-selected", String(isChosen));
      if (control) control.tabIndex = isChosen ? 0 : -1;
      tab.panel.classList.toggle("chosen", isChosen);
    }
    this.onChoose(name);
  }

  /** Leave a tab out, or put it back. */
  setHidden(name: string, isHidden: boolean): void {
    const control = this.buttons.get(name);
    if (control) control.hidden = isHidden;
  }

  private step(event: KeyboardEvent): void {
    const shown = this.tabs.filter(({ name }) => !this.buttons.get(name)?.hidden);
    const at = shown.findIndex(({ name }) => name === this.chosen);
    const steps: Record<string, number> = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: shown.length - 1 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const { name } = shown[(steps[event.key] + shown.length) % shown.length];
    this.choose(name);
    this.buttons.get(name)?.focus();
  }
}
