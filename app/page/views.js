/**
 * The views, in the order of their keys: addresses, navigation, keys and router take them here.
 *
 * Each is loaded when it is first shown; index.html has the first one preloaded.
 */

export const VIEWS = {
  grid: { title: "Pictures", icon: "grid", load: async () => (await import("./grid.js")).Grid },
  plane: { title: "Plane", icon: "plane", load: async () => (await import("./plane.js")).Plane },
  path: { title: "Path", icon: "path", load: async () => (await import("./path.js")).Path },
  mix: { title: "Mix", icon: "mix", load: async () => (await import("./mix.js")).Mix },
  find: { title: "Find", icon: "find", load: async () => (await import("./find.js")).Find },
  saved: { title: "Saved", icon: "saved", load: async () => (await import("./saved.js")).Saved },
  models: {
    title: "Models",
    icon: "models",
    load: async () => (await import("./models.js")).Models,
  },
  focus: { title: "Picture", load: async () => (await import("./focus.js")).Focus },
}

/** Names of the views in the navigation. */
export const NAVIGATION = Object.keys(VIEWS).filter((name) => VIEWS[name].icon)
