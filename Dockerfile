# roomcast as an image, for every platform that the Node image supports:
#
#   docker build -t roomcast .
#   docker run -p 8080:8080 roomcast
#
# The public port is 8080. The internal one (HTTP API, metrics, live page) listens inside the container
# only; `-e ROOMCAST_INTERNAL_HOST=0.0.0.0 -p 127.0.0.1:8081:8081` opens it to the host.

# Nothing here is compiled for a platform, so build it once, on the build platform.
FROM --platform=$BUILDPLATFORM node:24.11.0-bookworm-slim AS build
WORKDIR /roomcast
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY . .
# The Redis client is an optional peer that `npm prune` would remove; it has no dependencies.
RUN npm run build && mv node_modules/@redis / && npm prune --omit=dev --ignore-scripts && \
    mv /@redis node_modules

FROM node:24.11.0-bookworm-slim
ENV NODE_ENV=production ROOMCAST_HOST=0.0.0.0 ROOMCAST_INTERNAL_PORT=8081
WORKDIR /roomcast
COPY --from=build /roomcast/package.json ./
COPY --from=build /roomcast/node_modules node_modules
COPY --from=build /roomcast/dist dist
COPY --from=build /roomcast/docs/openapi.json docs/openapi.json
USER node
EXPOSE 8080 8081
# Override it with --health-cmd for another port, a path prefix or TLS.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --start-interval=1s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/healthz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/cli/main.js"]
CMD ["serve"]
