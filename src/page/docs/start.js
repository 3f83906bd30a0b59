/** Shows the OpenAPI document of this server. Everything is found beside the page, at any path. */
const { SwaggerUIBundle } = window;

SwaggerUIBundle({
  url: new URL('v1/openapi.json', document.baseURI).href,
  dom_id: '#swagger-ui',
  deepLinking: true,
  docExpansion: 'list',
  layout: 'BaseLayout',
  presets: [SwaggerUIBundle.presets.apis],
});
