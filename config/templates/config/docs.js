"use strict";
SwaggerUIBundle({
  url: "{% url 'schema' %}",
  dom_id: "#api",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  // Without this, the viewer would send the description to a validator outside.
  validatorUrl: null,
});
