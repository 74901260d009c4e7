// What bundles make elements with; `build.mjs` puts it into every module that has some.
export { createElement, Fragment } from "preact";
