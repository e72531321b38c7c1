"""The paper's ConvNet (section 1.1), with the kernel sizes of CNN-F (Chatfield et al. 2014): the same widths."""

from collections import OrderedDict

from torch import nn


def simonyan2013(num_classes: int = 1000) -> nn.Sequential:
    """conv64-conv256-conv256-conv256-conv256-full4096-full4096-full1000.

    Input (N, 3, 224, 224), mean-subtracted, 0..255 scale; output (N, num_classes) class scores; 60.8 M parameters at
    1000 classes. The paper publishes the widths only; strides, kernels, response normalisation and dropout are those
    of CNN-F and of Krizhevsky et al. (2012), as are the initial values: weights N(0, 0.01), biases 1 in the
    second, fourth and fifth convolution and the hidden full layers, 0 elsewhere.
    """
    net = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 64, 11, stride=4),
            relu1=nn.ReLU(inplace=True),
            norm1=nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(64, 256, 5, padding=2),
            relu2=nn.ReLU(inplace=True),
            norm2=nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
            pool2=nn.MaxPool2d(2),
            conv3=nn.Conv2d(256, 256, 3, padding=1),
            relu3=nn.ReLU(inplace=True),
            conv4=nn.Conv2d(256, 256, 3, padding=1),
            relu4=nn.ReLU(inplace=True),
            conv5=nn.Conv2d(256, 256, 3, padding=1),
            relu5=nn.ReLU(inplace=True),
            pool5=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            full6=nn.Linear(256 * 6 * 6, 4096),
            relu6=nn.ReLU(inplace=True),
            drop6=nn.Dropout(0.5),
            full7=nn.Linear(4096, 4096),
            relu7=nn.ReLU(inplace=True),
            drop7=nn.Dropout(0.5),
            full8=nn.Linear(4096, num_classes),
        )
    )
    ones = ("conv2", "conv4", "conv5", "full6", "full7")
    for name, parameter in net.named_parameters():
        layer, _, kind = name.partition(".")
        if kind == "weight":
            nn.init.normal_(parameter, std=0.01)
        else:
            nn.init.constant_(parameter, float(layer in ones))
    return net
