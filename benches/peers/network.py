"""The network in PyTorch, onnxruntime and OpenVINO, from the ONNX file that `deep3m export` writes.

Also by itself, on a machine with a graphics card and without Rust:

    python network.py forward model.onnx grey.npy --peer torch --device cuda --precision bf16
    python network.py training model.onnx grey.npy --peer torch --device cuda --precision bf16
"""

import argparse
import json
import resource
import time

import numpy as np

# The network's own blobs lie between these two; before and after are grey values and probabilities.
GREY, LOGITS = "grey", "deconv_all_sum"


def graph(file):
    """The nodes and constants of an ONNX file."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(file).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.initializer}
    settings = lambda node: {a.name: list(a.ints) if a.ints else (a.i if a.type == onnx.AttributeProto.INT else a.f) for a in node.attribute}
    nodes = [(node.op_type, list(node.input), node.output[0], settings(node)) for node in model.node]
    return nodes, constants


def torch_network(file, trains):
    """The file's nodes as a PyTorch module from grey values to logits. One that `trains` normalises after each convolution,
    as the network does before its normalisation is folded into the weights."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    nodes, constants = graph(file)
    end = next(i for i, node in enumerate(nodes) if node[2] == LOGITS)
    nodes = nodes[: end + 1]
    # A head's transposed convolutions are summed before they are normalised.
    summed = {name for kind, inputs, _, _ in nodes if kind == "Sum" for name in inputs}

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.steps = []
            self.weights = nn.ParameterDict()
            self.norms = nn.ModuleDict()
            for kind, inputs, output, settings in nodes:
                for name in inputs:
                    if name in constants:
                        key = name.replace(".", "_").replace("/", "|")
                        self.weights[key] = nn.Parameter(torch.from_numpy(constants[name].copy()))
                self.steps.append((kind, inputs, output, settings))
                linear = kind in ("Conv", "ConvTranspose") and output not in summed
                if trains and (linear or (kind == "Sum" and output != LOGITS)):
                    channels = 2 if kind != "Conv" else constants[inputs[1]].shape[0]
                    self.norms[output.replace(".", "_").replace("/", "|")] = nn.BatchNorm2d(channels)

        def forward(self, grey):
            blobs = {GREY: grey}
            for kind, inputs, output, settings in self.steps:
                name = lambda text: text.replace(".", "_").replace("/", "|")
                get = lambda text: blobs[text] if text in blobs else self.weights[name(text)]
                x = [get(text) for text in inputs if text]
                if kind == "Conv":
                    y = F.conv2d(*x, stride=settings["strides"], padding=settings["pads"][:2])
                elif kind == "ConvTranspose":
                    bias = x[2] if len(x) > 2 else None
                    y = F.conv_transpose2d(x[0], x[1], bias, settings["strides"], settings["pads"][:2], dilation=settings["dilations"])
                elif kind == "MaxPool":
                    y = F.max_pool2d(x[0], 3, 2, ceil_mode=True)
                elif kind == "Concat":
                    y = torch.cat(x, 1)
                elif kind in ("Add", "Sum"):
                    y = sum(x[1:], x[0])
                elif kind == "Mul":
                    y = x[0] * x[1]
                elif kind == "Sub":
                    y = x[0] - x[1]
                elif kind == "Clip":
                    y = torch.clamp(x[0], x[1], x[2])
                elif kind == "Relu":
                    y = F.relu(x[0])
                else:
                    raise ValueError(f"{kind}: an operation that this script does not know")
                if name(output) in self.norms:
                    y = self.norms[name(output)](y)
                blobs[output] = y
            return blobs[LOGITS]

    return Network()


def torch_forward(file, grey, options):
    import torch

    torch.set_num_threads(options.threads)
    device, kind = torch.device(options.device), {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[options.precision]
    layout = torch.channels_last if options.layout == "channels_last" else torch.contiguous_format
    net = torch_network(file, trains=False).eval().to(device, kind, memory_format=layout)
    if options.compile:
        net = torch.compile(net)
    x = torch.from_numpy(grey).to(device, kind, memory_format=layout)
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None

    @torch.inference_mode()
    def once():
        answer = torch.sigmoid((lambda y: y[:, 1:] - y[:, :1])(net(x).float()))
        wait()
        return answer.cpu().numpy()

    return once


def onnxruntime_forward(file, grey, options):
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0].name
    return lambda: session.run(None, {entry: grey})[0]


def openvino_forward(file, grey, options):
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": options.threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    model = core.read_model(file)
    model.reshape(grey.shape)
    compiled = core.compile_model(model, "CPU", settings)
    return lambda: compiled([grey])[0]


def norm_of(output):
    """The name of the normalisation after a node, as weight files have it."""
    layer = output.removesuffix("/linear").removesuffix("/sum")
    layer = "deconv5_16x" if layer == "deconv5_16x/deconv5_16x" else layer
    # The original's own spelling.
    return "ra_A_concat_top_conv_1x1" if layer == "ira_A_concat_top_conv_1x1" else layer


def torch_training(file, grey, target, options):
    """A step: forward, loss, backward, Adam. Answers with the first step's loss."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    layout = torch.channels_last if options.layout == "channels_last" else torch.contiguous_format
    net = torch_network(file, trains=True).train()
    if options.weights:
        from safetensors.numpy import load_file

        scales = load_file(options.weights)
        for key, norm in net.norms.items():
            for kind, values in (("gamma", norm.weight), ("beta", norm.bias)):
                scale = scales[f"scale_{norm_of(key.replace('|', '/'))}/{kind}"]
                # The sign of gamma is in the folded weights.
                values.data = torch.from_numpy(np.abs(scale) if kind == "gamma" else scale)
    net = net.to(device, memory_format=layout)
    solver = torch.optim.Adam(net.parameters(), lr=1e-4)
    x = torch.from_numpy(grey).to(device, memory_format=layout)
    y = torch.from_numpy(target).to(device)
    lower = torch.autocast(device.type, {"bf16": torch.bfloat16, "f16": torch.float16}.get(options.precision), enabled=options.precision != "f32")

    def once():
        solver.zero_grad(set_to_none=True)
        with lower:
            logits = net(x)
        loss = F.cross_entropy(logits.float(), y)
        loss.backward()
        solver.step()
        return np.float32(loss.item())

    return once


def measure(options):
    """Times of a peer, and its answer."""
    grey = np.load(options.grey)
    if options.kind == "training":
        target = np.load(options.target).astype(np.int64) if options.target else (grey[:, 0] > grey.mean()).astype(np.int64)
        once = torch_training(options.model, grey, target, options)
    else:
        once = {"torch": torch_forward, "onnxruntime": onnxruntime_forward, "openvino": openvino_forward}[options.peer](
            options.model, grey, options
        )
    answer = once()
    seconds = []
    for _ in range(options.rounds):
        begun = time.perf_counter()
        once()
        seconds.append(time.perf_counter() - begun)
    if options.out:
        np.save(options.out, answer)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "peak_bytes": peak}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["forward", "training"])
    parser.add_argument("model", help="ONNX file of one network")
    parser.add_argument("grey", help="grey values, [N, sections, rows, columns], .npy")
    parser.add_argument("--weights", help="training: the network's safetensors, for the scales of its normalisation")
    parser.add_argument("--target", help="training: 0 and 1, [N, rows, columns], .npy")
    parser.add_argument("--out", help="where the answer goes, .npy")
    parser.add_argument("--peer", choices=["torch", "onnxruntime", "openvino"], default="torch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["f32", "bf16", "f16"], default="f32")
    parser.add_argument("--layout", choices=["channels_last", "contiguous"], default="channels_last")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
