# icewright in an empty image: one static binary, which brings its time zones, certificate authorities,
# and a folder for temporary files. `docker build -t icewright .`, then
#
#   docker run --rm -v "$PWD":/work icewright load rows.csv --table lake.rows
#
# TARGET is icewright or icewright-full, which has the catalogs of cloud vendors and Hive too.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION
RUN make build VERSION="${VERSION}" && mkdir -p /empty/tmp /empty/work && chmod 1777 /empty/tmp /empty/work

FROM scratch
ARG TARGET=icewright
COPY --from=build /empty /
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/bin/${TARGET} /icewright
ENV HOME=/work
USER 65532:65532
WORKDIR /work
ENTRYPOINT ["/icewright"]
