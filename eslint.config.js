import js from "@eslint/js"

const rules = {
  "no-undef": "off", // tsc knows the names of the browser
  "no-unused-vars": ["error", { ignoreRestSiblings: true }],
}

export default [js.configs.recommended, { rules }]
