"""A ConvNet small enough to learn the drawn shapes in two minutes on one processor core."""

from collections import OrderedDict

from torch import nn


def shapes_convnet(num_classes: int = 10) -> nn.Sequential:
    """conv16-conv32-conv32-conv64-conv64-full128-full10, ReLUs between, a max-pool behind conv1, conv3 and conv5.

    Input (N, 3, 64, 64), normalised; output (N, num_classes) class scores; 203,018 parameters at 10 classes. Weights
    are drawn as He et al. 2015 propose for ReLUs, those of the last layer from N(0, 0.01); biases are 0.
    """
    net = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 16, 5, stride=2, padding=2),
            relu1=nn.ReLU(inplace=True),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(16, 32, 3, padding=1),
            relu2=nn.ReLU(inplace=True),
            conv3=nn.Conv2d(32, 32, 3, padding=1),
            relu3=nn.ReLU(inplace=True),
            pool3=nn.MaxPool2d(2),
            conv4=nn.Conv2d(32, 64, 3, padding=1),
            relu4=nn.ReLU(inplace=True),
            conv5=nn.Conv2d(64, 64, 3, padding=1),
            relu5=nn.ReLU(inplace=True),
            pool5=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            full6=nn.Linear(64 * 4 * 4, 128),
            relu6=nn.ReLU(inplace=True),
            full7=nn.Linear(128, num_classes),
        )
    )
    for name, parameter in net.named_parameters():
        if name.endswith("weight"):
            nn.init.kaiming_normal_(parameter)
        else:
            nn.init.zeros_(parameter)
    nn.init.normal_(net.get_parameter("full7.weight"), std=0.01)
    return net
