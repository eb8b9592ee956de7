# Two images:
#   docker build -t bowline .                    the default: with a shell, for `kubectl exec ... -- sh -c ...`
#   docker build -t bowline --target static .    nothing but the programs
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o /out/ ./cmd/...

FROM scratch AS static
COPY --from=build /out/etcd /usr/local/bin/etcd
COPY --from=build /out/etcdctl /usr/local/bin/etcdctl
COPY --from=build /out/etcdutl /usr/local/bin/etcdutl
# For archives in object storage, which is spoken to by HTTPS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
WORKDIR /var/lib/etcd
ENV PATH=/usr/local/bin:/bin:/usr/bin
EXPOSE 2379 2380
CMD ["/usr/local/bin/etcd"]

FROM busybox:1.37-musl
COPY --from=static / /
WORKDIR /var/lib/etcd
ENV PATH=/usr/local/bin:/bin:/usr/bin
EXPOSE 2379 2380
CMD ["/usr/local/bin/etcd"]
