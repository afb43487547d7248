from brokers import listener, mosquitto

__all__ = ["listener", "mosquitto"]
