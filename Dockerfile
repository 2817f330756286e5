# The service with the generator that ships. Two stages: what installs, and what runs.
#
#   docker build -t ganserve .
#   docker run --rm -p 8000:8000 ganserve
#
# TORCH=no leaves PyTorch out: the CPU in float32 is served by ONNX Runtime and never imports it.
# TORCH_INDEX names another package index for torch alone, such as PyTorch's own index of CPU builds;
# empty, torch comes from where everything else comes from.

FROM python:3.11-slim-bookworm AS build
ARG TORCH=yes
ARG TORCH_INDEX=""
WORKDIR /build
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# the dependencies are a layer of their own: it changes only with these two files
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > dependencies.txt && \
    if [ "$TORCH" = no ]; then sed -i '/^torch/d' dependencies.txt; fi && \
    if [ "$TORCH" != no ] && [ -n "$TORCH_INDEX" ]; then \
        pip install --index-url "$TORCH_INDEX" "$(grep '^torch==' constraints.txt)"; \
    fi && \
    pip install -c constraints.txt -r dependencies.txt

COPY README.md ./
COPY app app
COPY model model
RUN pip install --no-deps .

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin ganserve
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 PORT=8000
WORKDIR /srv
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/readyz', timeout=2)"]
CMD ["python", "-m", "app"]
