# One image for every part of Waybill: a static binary in an empty root file system. No shell, no package manager, no root.
#
#   docker build -t waybill .                       builds the binary in the image's own build stages
#   docker build -t waybill --build-arg BINARY=prebuilt DIR
#                                                   takes DIR/waybill (static), DIR/ca-certificates.crt and DIR/data/ (empty)
#
ARG RUST_IMAGE=rust:1.95.0-alpine3.22@sha256:064dfc925d68d1a63f4fd2871bd7dc6e6ea56692989a487185855d62885d90aa
# The stage that the binary comes from: build or prebuilt.
ARG BINARY=build

FROM ${RUST_IMAGE} AS toolchain
RUN apk add --no-cache musl-dev ca-certificates
RUN cargo install cargo-chef --version 0.1.78 --locked
WORKDIR /src

# What the dependencies depend on, and nothing else: this layer's content changes only with manifests and Cargo.lock.
FROM toolchain AS recipe
COPY . .
RUN cargo chef prepare --recipe-path /recipe.json

FROM toolchain AS build
COPY --from=recipe /recipe.json /recipe.json
# The dependency layer: minutes, and cached until /recipe.json changes.
RUN cargo chef cook --profile dist --locked --bin waybill --recipe-path /recipe.json
COPY . .
RUN cargo build --profile dist --locked --bin waybill \
    && mkdir -p /out/data \
    && cp target/dist/waybill /etc/ssl/certs/ca-certificates.crt /out/

FROM scratch AS prebuilt
COPY . /out/

FROM ${BINARY} AS binary

FROM scratch
LABEL org.opencontainers.image.title="waybill" \
      org.opencontainers.image.description="Distributed tracing for an order pipeline: eight services, a collector, a trace store" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=binary /out/waybill /usr/local/bin/waybill
COPY --from=binary /out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# The one place that is written to. A fresh named volume takes this folder's owner.
COPY --from=binary --chown=65532:65532 /out/data /data
ENV PATH=/usr/local/bin \
    WAYBILL_LISTEN=0.0.0.0:8080 \
    WAYBILL_DATA=/data
WORKDIR /
USER 65532:65532
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
    CMD ["waybill", "health", "http://127.0.0.1:8080/readyz"]
ENTRYPOINT ["waybill"]
CMD ["--help"]
