"""Models of `qbb quantize` in transformers: `import qbb_transformers`, then from_pretrained as for any other model.

A matrix of layers.py takes the place of every layer whose packed tensors the file holds. Its tensors have the names, types and shapes of the
file (docs/format.md), so that transformers' own loader fills them."""
import json
import re
import struct
from collections import defaultdict

import torch
from torch import nn
from transformers.core_model_loading import WeightRenaming
from transformers.pytorch_utils import Conv1D
from transformers.quantizers import HfQuantizer, register_quantization_config, register_quantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from .layers import BasesMatrix, IntegerMatrix, Matrix, TiedHead, expand  # noqa: F401


@register_quantization_config("qbb")
class QbbConfig(QuantizationConfigMixin):
    """quantization_config of config.json."""

    def __init__(self, version=1, group_size=None, embedding=None, **others):
        self.quant_method, self.version, self.group_size, self.embedding = "qbb", version, group_size, embedding
        self.__dict__.update(others)


@register_quantizer("qbb")
class QbbQuantizer(HfQuantizer):
    requires_calibration = True  # a plain model becomes one of these by `qbb quantize`, not while it is loaded
    is_trainable, is_compileable = False, True

    def validate_environment(self, *args, **kwargs):
        if self.quantization_config.version != 2:
            raise ValueError(f"the model has version {self.quantization_config.version} of qbb's format and this package reads version 2: "
                             "quantize it again with  qbb quantize MODEL -o OUTPUT")

    def preprocess_model(self, model, *args, checkpoint_files=None, dtype=None, **kwargs):
        self.files, self.dtype, self.renamed = checkpoint_files or [], dtype or torch.get_default_dtype(), []
        super().preprocess_model(model, *args, checkpoint_files=checkpoint_files, dtype=dtype, **kwargs)

    def _process_model_before_weight_loading(self, model, **kwargs):
        config, head = self.quantization_config, model.get_output_embeddings()
        for name, tensors in _modules(self.files).items():
            kind = BasesMatrix if "planes" in tensors else IntegerMatrix if tensors.keys() & {"q8", "q6", "q4"} else None
            if kind is not None:
                path = _path(model, name, head)
                if path.removeprefix(model.base_model_prefix + ".") != name.removeprefix(model.base_model_prefix + "."):
                    self.renamed.append(WeightRenaming(rf"^{re.escape(name)}\.", path + "."))
                old = model.get_submodule(path)
                columns = old.weight.shape[0 if isinstance(old, Conv1D) else 1]
                form = config.embedding if config.embedding and (isinstance(old, nn.Embedding) or old is head) else {}
                group = form.get("group_size", config.group_size) or columns
                model.set_submodule(path, kind(tensors, columns, min(group, columns), old))
        embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
        if isinstance(embedding, Matrix) and isinstance(head, nn.Linear) and model.config.get_text_config().tie_word_embeddings:
            model.set_submodule(next(path for path, module in model.named_modules() if module is head), TiedHead(embedding, head.bias))
        if isinstance(embedding, Matrix):
            model._tied_weights_keys, model.all_tied_weights_keys = None, {}
        # Scales of the smaller models of a nested one.
        model._keys_to_ignore_on_load_unexpected = {*(model._keys_to_ignore_on_load_unexpected or ()), r"\.(alpha|beta)\.\d+$"}

    def update_weight_conversions(self, weight_conversions):
        return [*weight_conversions, *self.renamed]

    def _process_model_after_weight_loading(self, model, **kwargs):
        for module in (module for module in model.modules() if isinstance(module, Matrix)):
            module.finish(self.dtype)

    def is_serializable(self, *args, **kwargs):
        return False  # the folder that was loaded is the saved form


def _modules(files):
    """module: {suffix: (type, shape)} of all tensors, from the files' headers."""
    modules = defaultdict(dict)
    for file in files:
        with open(file, "rb") as stream:
            header = json.loads(stream.read(struct.unpack("<Q", stream.read(8))[0]))
        for name in header.keys() - {"__metadata__"}:
            module, _, suffix = name.rpartition(".")
            modules[module][suffix] = (header[name]["dtype"], header[name]["shape"])
    return modules


def _path(model, name, head):
    """Where a module of the file is in this model: with or without the prefix of the base model; a name without a place is the head's of before."""
    prefix, paths = model.base_model_prefix + ".", {path: module for path, module in model.named_modules()}
    places = [path for path in (name, prefix + name, name.removeprefix(prefix)) if path in paths]
    places += [path for path, module in paths.items() if module is head and "." not in name]
    if not places:
        raise ValueError(f"the file has {name}, and {type(model).__name__} has no such layer")
    return places[0]
