// Starts Swagger UI on this app's document. What the app knows about its own examples is a plugin that it brings.
window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  validatorUrl: null,
  defaultModelsExpandDepth: 0,
  presets: [SwaggerUIBundle.presets.apis],
  plugins: window.examples ? [window.examples] : [],
});
