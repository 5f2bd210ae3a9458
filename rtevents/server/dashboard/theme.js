// Dark, light, or as the system says; before anything is painted: so no module.

(() => {
  const KEY = "rtevents theme";
  const root = document.documentElement;
  const read = () => {
    try {
      return localStorage.getItem(KEY) ?? "auto";
    } catch {
      return "auto"; // a browser that keeps nothing
    }
  };
  root.dataset.theme = read();
  addEventListener("rtevents-theme", () => {
    const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
    const [system, other] = isDark ? ["dark", "light"] : ["light", "dark"];
    const now = root.dataset.theme === "auto" ? system : root.dataset.theme;
    root.dataset.theme = now === system ? other : "auto";
    try {
      localStorage.setItem(KEY, root.dataset.theme);
    } catch {
      // It holds until the page is left.
    }
  });
})();
