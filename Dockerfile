# docker build -t bids-film .                           for processors
# docker build -t bids-film:cuda --build-arg TORCH_INDEX= --build-arg LOCK=docker/constraints-cuda.txt .
#
# Two secrets may be given to a build that cannot reach the package index directly: `ca`, a bundle
# of certificates, and `pipconf`, pip's settings. Without them the lines that name them do nothing.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS python
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log

# What the program needs, and not how its code looks: the packages below are built again only where
# this list or a lock changes.
FROM python AS requirements
COPY pyproject.toml docker/list_requirements.py /source/
RUN python3 /source/list_requirements.py /source/pyproject.toml > /requirements.txt

FROM python AS packages
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3-venv \
 && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/venv
COPY constraints.txt docker/build-requirements.txt /
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=pipconf,target=/etc/pip.conf \
    /build/bin/pip install --quiet --requirement build-requirements.txt
# The wheels of torch without CUDA are in an index of their own; empty for the wheels with it.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG LOCK=constraints.txt
COPY ${LOCK} /lock.txt
COPY --from=requirements /requirements.txt /
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=pipconf,target=/etc/pip.conf \
    /build/bin/pip --python /opt/venv/bin/python install --quiet \
    ${TORCH_INDEX:+--extra-index-url ${TORCH_INDEX}} \
    --constraint constraints.txt --constraint lock.txt --requirement requirements.txt
COPY docker/prune.sh /
RUN sh /prune.sh /opt/venv

FROM packages AS program
COPY pyproject.toml README.md LICENSE /source/
COPY distribution/completion /source/distribution/completion
COPY bids_film /source/bids_film
RUN /build/bin/pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir /wheels /source \
 && /build/bin/pip --python /opt/venv/bin/python install --quiet --no-deps --no-index \
    --target /opt/bids_film /wheels/*.whl

FROM python
COPY --from=packages /opt/venv /opt/venv
COPY --from=program /opt/bids_film /opt/bids_film
RUN echo /opt/bids_film > "$(echo /opt/venv/lib/python3*/site-packages)/bids_film.pth"
# HOME: an ordinary user's is not there, and nothing may be written below it.
ENV PATH=/opt/bids_film/bin:/opt/venv/bin:$PATH HOME=/tmp LC_ALL=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 PYTHONNOUSERSITE=1 PYTHONUNBUFFERED=1
ARG VERSION=0.1.0
ENV BIDS_FILM_CONTAINER_TAG=bids-film:${VERSION}
LABEL org.opencontainers.image.title="bids-film" \
      org.opencontainers.image.description="A BIDS App that segments medical images and reads the scan's metadata while it does so" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.documentation="docs/containers.md"
USER 1000:1000
WORKDIR /tmp
ENTRYPOINT ["bids-film"]
CMD ["--help"]
