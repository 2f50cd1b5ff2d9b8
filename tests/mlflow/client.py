#!/usr/bin/env python3
"""MLflow's real client (mlflow-skinny) against the registry's MLflow routes: search, alias, download, compare runs.

Usage: tests/mlflow/run [PYTHON]. It starts nothing itself: MLFLOW_TRACKING_URI names a registry with a model MODEL that has a champion.
"""
import os
import sys
import tempfile

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException


def check(holds, what):
    print(("ok    " if holds else "WRONG ") + what)
    if not holds:
        check.failed += 1


check.failed = 0
name = sys.argv[1] if len(sys.argv) > 1 else "tiny"
client = MlflowClient()
print(f"mlflow {mlflow.__version__} at {mlflow.get_tracking_uri()}")

models = client.search_registered_models(filter_string=f"name LIKE '{name[:2]}%'", order_by=["name ASC"])
check(name in [model.name for model in models], f"search_registered_models finds {name}")
champion = client.get_model_version_by_alias(name, "champion")
check(champion.status == "READY", f"the champion is version {champion.version}")
versions = client.search_model_versions(f"name = '{name}'", max_results=1)
more = client.search_model_versions(f"name = '{name}'", max_results=1, page_token=versions.token) if versions.token else []
check(len(versions) == 1 and len(more) == 1, "search_model_versions comes in pages")

experiment = client.get_experiment_by_name(name)
runs = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED' and metrics.kl >= 0", order_by=["metrics.kl ASC"])
check(len(runs) > 0, f"search_runs finds {len(runs)} runs")
values = [run.data.metrics["kl"] for run in runs]
check(values == sorted(values), f"in the order of their KL: {values}")
run = client.get_run(champion.run_id)
check(run.data.params["decomposition.bases"] != "", f"the champion's run has {len(run.data.params)} parameters")
history = client.get_metric_history(run.info.run_id, "decompose/relativeError")
check([point.step for point in history] == list(range(len(history))) and len(history) > 0, f"a history of {len(history)} points")
check(len(client.list_artifacts(run.info.run_id)) > 0, "list_artifacts shows the files that the run published")

with tempfile.TemporaryDirectory() as folder:
    path = mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{name}@champion", dst_path=folder)
    files = [os.path.relpath(os.path.join(root, file), path) for root, _, found in os.walk(path) for file in found]
    check(len(files) > 0, f"download_artifacts brings {sorted(files)}")

for call, code in (
    (lambda: client.get_registered_model("no-such-model"), "RESOURCE_DOES_NOT_EXIST"),
    (lambda: client.search_registered_models("nome = 'x'"), "INVALID_PARAMETER_VALUE"),
    (lambda: client.create_registered_model("x"), "PERMISSION_DENIED"),
):
    try:
        call()
        check(False, f"{code} was expected")
    except MlflowException as error:
        check(error.error_code == code, f"{error.error_code}: {error.message[:80]}")

print(f"{check.failed} wrong")
sys.exit(1 if check.failed else 0)
