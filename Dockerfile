# One image for all apps: the command says which one runs.
#
#   docker build -t recloser .
#   docker run recloser                                   the web app
#   docker run recloser node apps/worker/src/main.ts      a worker
#   docker run recloser node apps/doctor/src/main.ts      what is wrong, and what to do
#
# Always true: no build step, the sources run as they are. The workspaces stay real folders that npm links to from
# node_modules, because Node strips types only outside node_modules; never replace the links by copies.

FROM node:26-slim AS manifests
WORKDIR /app
COPY . .
# Only the manifests go on, so the install below is repeated when a dependency changes, not when a source does.
RUN find . -type f ! -name package.json ! -name package-lock.json -delete && find . -type d -empty -delete

FROM node:26-slim AS dependencies
WORKDIR /app
COPY --from=manifests /app ./
# Optional dependencies are the pinned Node for machines without this image, and native variants nobody needs here.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
      --workspace apps/web --workspace apps/worker --workspace apps/admin --workspace apps/simulator \
      --workspace apps/doctor \
 && npm cache clean --force

FROM node:26-slim
# Production refuses to start without keys and accounts; docker-compose.yml says development where it means it.
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    DATA_DIR=/data
WORKDIR /app
# A volume mounted here starts with this owner, so the unprivileged user can write to it.
RUN mkdir /data && chown node:node /data
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY docker/healthy.mjs ./docker/healthy.mjs
COPY apps ./apps
COPY packages ./packages
USER node
EXPOSE 3000 3001 3002 3003
# Node runs as process 1 and handles SIGTERM itself: the apps finish what they began and hand back the rest.
STOPSIGNAL SIGTERM
CMD ["node", "apps/web/src/main.ts"]
