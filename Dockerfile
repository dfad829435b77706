# An image with nothing in it but the binary and the certificates that it
# verifies AWS and Redis with.
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=v2.0.0 -t scout .
#   docker run -v ./scout.yml:/etc/scout.yml:ro --stop-timeout 30 scout run -j -c /etc/scout.yml
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETARCH VERSION=dev
RUN GOOS=linux GOARCH=$TARGETARCH GOFLAGS=-buildvcs=false make scout VERSION=$VERSION

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/bin/scout /usr/bin/scout
COPY LICENSE /usr/share/doc/scout/copyright
# A number, so that Kubernetes can verify that the user is not root.
USER 65532:65532
ENTRYPOINT ["/usr/bin/scout"]
