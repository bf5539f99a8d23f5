# iblnm without a checkout: the page on port 3000, outputs in the volume /data.
#   docker build -t iblnm .
#   docker run --rm -p 127.0.0.1:3000:3000 -v iblnm:/data iblnm
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY iblnm iblnm
COPY iblnm_dagster iblnm_dagster
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
COPY --from=build /wheels /wheels
COPY constraints.txt /wheels/
RUN pip install --no-cache-dir --constraint /wheels/constraints.txt /wheels/*.whl \
    && useradd --create-home --uid 1000 iblnm \
    && mkdir /data && chown iblnm /data
USER iblnm
ENV IBLNM_ROOT=/data
WORKDIR /data
VOLUME /data
EXPOSE 3000
# the page has no log-in: publish the port on loopback, or behind a proxy that asks who it is
ENTRYPOINT ["iblnm"]
CMD ["dev", "--host", "0.0.0.0", "--port", "3000"]
