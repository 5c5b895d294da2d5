# The bot without its sandbox: one binary, a certificate store, no shell needed, not root.
FROM rust:1.95-slim-bookworm AS build
# libgit2, zlib and the TLS library are built from source.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends cmake g++ make perl pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN cargo build --release --locked --no-default-features

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 65532 --user-group --home-dir /var/lib/pipewright --create-home pipewright
COPY --from=build /source/target/release/pipewright /usr/local/bin/pipewright
USER 65532:65532
WORKDIR /var/lib/pipewright
# The mirror may be lost at any time: an emptyDir is enough.
ENV PIPEWRIGHT_MIRROR=/var/lib/pipewright/mirror
EXPOSE 8080
ENTRYPOINT ["pipewright"]
CMD ["serve"]
