# The command line in a container, without root.
#
#   docker build -t jspsr .
#   docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/data" -v jspsr-cache:/cache \
#       jspsr enhance cop30.tif --guide ortho.tif -o dem.tif --weights jspsr-8m-image
#
# With an NVIDIA GPU (and NVIDIA's container toolkit on the host):
#
#   docker build -t jspsr:cuda --build-arg BASE=nvidia/cuda:13.0.2-base-ubuntu24.04 --build-arg TORCH=pypi .
#   docker run --rm --gpus all ... jspsr:cuda enhance ...
#
# BASE    a Debian or Ubuntu image that has Python 3.11 or newer, or can install it, as Ubuntu 24.04 does.
#         PyTorch's wheels bring their own CUDA libraries, so NVIDIA's smallest image, "base", is enough. Take the
#         one of the wheel's CUDA version: it refuses to start where the host's driver is too old for that.
# TORCH   which build of the torch release in constraints.txt:
#           cpu     small, from PyTorch's index
#           pypi    the wheel on PyPI, which on Linux has CUDA 13.0 (several GB; Turing GPUs and newer)
#           cu126   or another CUDA version that PyTorch's index has for this release (12.6 for older GPUs)
ARG BASE=python:3.11-slim

FROM ${BASE} AS python
# rasterio's wheel lacks libexpat, and slim images do too. CUDA images have no Python.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1 libstdc++6 \
       $(command -v python3 >/dev/null || echo python3 python3-venv) \
    && rm -rf /var/lib/apt/lists/*
ENV PATH=/opt/jspsr/bin:$PATH

FROM python AS build
ARG TORCH=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python3 -m venv /opt/jspsr
# torch first and alone: it is most of the download, and changes less often than the sources.
COPY constraints.txt ./
RUN if [ "$TORCH" != pypi ]; then \
        pip install --no-deps -c constraints.txt --index-url "https://download.pytorch.org/whl/$TORCH" torch; \
    fi
COPY pyproject.toml README.md LICENSE ./
COPY jspsr_cli jspsr_cli
COPY models models
RUN pip install -c constraints.txt .

FROM python
COPY --from=build /opt/jspsr /opt/jspsr
# Weights are kept in /cache, which any user id can write to, since -u gives the files in /data the right owner.
RUN useradd --uid 10001 --create-home jspsr && mkdir /data && mkdir -m 1777 /cache
ENV JSPSR_CACHE=/cache
VOLUME /cache
WORKDIR /data
USER jspsr
# Fails here, not at the user's, if the base image lacks a library.
RUN jspsr --version && python -c "import torch, rasterio, pyogrio, pyproj, shapely, scipy"
ENTRYPOINT ["jspsr"]
CMD ["--help"]
