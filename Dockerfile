# One image for all apps. The command selects the app.
#
#   docker build -t recloser .
#   docker run recloser                                   the web app
#   docker run recloser node apps/worker/src/main.ts      a worker
#   docker run recloser node tools/doctor/src/main.ts      the doctor
#
# There is no build step. Node strips types only outside node_modules, so the workspaces stay real folders that npm links
# to from node_modules. Never replace the links by copies.

FROM node:26-slim AS manifests
WORKDIR /app
COPY . .
# Only the manifests are copied on, so a changed source does not repeat the install below.
RUN find . -type f ! -name package.json ! -name package-lock.json -delete && find . -type d -empty -delete

FROM node:26-slim AS dependencies
WORKDIR /app
COPY --from=manifests /app ./
# The optional dependencies are Node itself, which the base image has, and native variants that are not needed.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
      --workspace apps/web --workspace apps/worker --workspace apps/admin --workspace apps/simulator \
      --workspace tools/doctor --workspace tools/after-restore \
 && npm cache clean --force

FROM node:26-slim
# In production the apps refuse to start without keys and accounts. docker-compose.yml sets development.
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    DATA_DIR=/data
WORKDIR /app
# A volume mounted here gets this owner, so the unprivileged user can write to it.
RUN mkdir /data && chown node:node /data
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY docker/healthy.mjs ./docker/healthy.mjs
COPY apps ./apps
COPY packages ./packages
COPY tools ./tools
USER node
EXPOSE 3000 3001 3002 3003
# Node runs as process 1 and handles SIGTERM: the apps shut down gracefully.
STOPSIGNAL SIGTERM
CMD ["node", "apps/web/src/main.ts"]
