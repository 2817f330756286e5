/**
 * The views, in the order of their keys, and the places that they stand in: addresses, navigation,
 * keys and router take them here.
 *
 * Each view is the class of its name in the file of its name, loaded when it is first shown;
 * index.html has the first one preloaded.
 */

/** @type {Record<string, {title: string, place: string}>} */
export const VIEWS = {
  grid: { title: "All", place: "pictures" },
  plane: { title: "Plane", place: "create" },
  path: { title: "Path", place: "create" },
  mix: { title: "Mix", place: "create" },
  find: { title: "Find", place: "pictures" },
  saved: { title: "Saved", place: "pictures" },
  models: { title: "About", place: "about" },
  names: { title: "Names", place: "create" },
  learn: { title: "Learn", place: "learn" },
  focus: { title: "Picture", place: "pictures" },
}

/** @type {Record<string, {title: string, icon: string, views: string[]}>} */
export const PLACES = {
  pictures: { title: "Pictures", icon: "grid", views: ["grid", "saved", "find"] },
  create: { title: "Create", icon: "path", views: ["path", "names", "plane", "mix"] },
  learn: { title: "Learn", icon: "learn", views: ["learn"] },
  about: { title: "About", icon: "models", views: ["models"] },
}

/** Names of the views that the navigation leads to. */
export const NAVIGATION = Object.keys(VIEWS).filter((name) => name !== "focus")

/** Returns the name of a view for people, where its place is not seen beside it. */
export function titleOfView(name) {
  return name === "grid" ? PLACES.pictures.title : VIEWS[name].title
}
